"""A whole world on one laptop: PostgreSQL, Temporal, SFTP and the product's own processes."""
