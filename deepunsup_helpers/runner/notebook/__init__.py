"""A notebook as a file: what it holds, its parameters, and what an executed one left behind."""
