"""What an operator does to a running stack, the local one or one on AWS."""
