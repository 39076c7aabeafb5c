"""One notebook executed in a process of its own, in a folder of its own."""
