"""What is counted, and how the processes of a server are counted together."""
