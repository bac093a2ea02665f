"""One module for each verb: ``add_arguments(parser)`` and ``run(args, terminal) -> exit code``."""
