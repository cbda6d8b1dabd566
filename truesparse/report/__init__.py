"""Reports of runs: pages of HTML that need nothing else."""
