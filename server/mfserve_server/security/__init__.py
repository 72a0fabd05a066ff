"""Who may call: certificates of the server, tokens and certificates of callers, and what each of them may do."""
