"""What every room uses and no business noun lives in."""
