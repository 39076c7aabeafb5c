"""`deepunsup grade`: the exercises of a folder of students' notebooks, each judged in a process of its own."""
