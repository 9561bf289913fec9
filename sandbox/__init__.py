"""A whole world on one laptop: PostgreSQL, Temporal, SFTP, a Stripe stand-in and the product itself."""
