"""A scorer of one's own: a scikit-learn model that tells the probability of payment."""
