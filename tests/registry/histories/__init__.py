"""Histories of concurrent clients, and whether they could have seen the same one after another.

``recording`` starts clients in processes of their own, kills some and collects what they saw; ``workloads`` has what
they call, and ``objects`` whom; ``models`` says in a few lines what aliases and jobs should be; and ``checker`` looks
for an order of the calls in which they are that.
"""
