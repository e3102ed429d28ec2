"""Webhooks: what jobs and batches ended with, sent to the addresses that their submitters gave."""
