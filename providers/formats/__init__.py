"""Files by family: how bytes become rows, whoever the company is."""
