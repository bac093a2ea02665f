"""The data plane judged by programs and peers that are not ours."""
