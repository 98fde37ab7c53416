"""Reports of a check in the forms that others read: each a function from outcomes to text or data."""
