"""What is drawn: bills and receipts as PDF, and the drawings of pages."""

from reportlab import rl_config

# Before its shapes are imported: it would check each attribute of each line anew.
rl_config.shapeChecking = 0
