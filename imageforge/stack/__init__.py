"""The daemons that imageforge runs when none is given: `up`, `down`, `status`, `doctor`."""
