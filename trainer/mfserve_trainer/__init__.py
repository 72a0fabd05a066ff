"""Trains: data sets, splits, engines, evaluation, and the worker that does the queued jobs."""
