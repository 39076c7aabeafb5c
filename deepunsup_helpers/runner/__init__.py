"""The command line `deepunsup`: runs notebooks as programs. Nothing in here imports torch."""
