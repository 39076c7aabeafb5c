"""The course around the runs: the learner's copies, the lab, the machine's check-up, cleaning."""
