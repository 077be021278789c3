"""A soak: hundreds of jobs on the deployed local stack under every fault at once, judged by an independent checker."""
