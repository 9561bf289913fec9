"""Setting up agencies: their users, collectors, creditors and SFTP sources."""
