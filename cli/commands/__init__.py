"""One module for each word after ``citybill``: options in, one call, words out."""
