"""How many calls are taken in, and which are refused at once: a server that is asked too much answers what it can."""
