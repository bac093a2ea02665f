//! Image layers: compression with digests in one pass, and safe extraction.
