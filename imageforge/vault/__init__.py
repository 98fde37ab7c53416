"""Secret values: where they are kept, and how they stay out of everything else."""
