"""A server of OpenAI's Videos API that renders in seconds, sends real signed webhooks, and fails on request.

See README.md in this folder for how to run it and for the faults that a job can ask for.
"""
