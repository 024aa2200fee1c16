"""Which benchmark items the training rows hold."""
