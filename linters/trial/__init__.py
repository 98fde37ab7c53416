"""An image tried out: run without rights, read-only and watched. What only a run can show, as findings."""
