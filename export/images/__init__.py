"""Images and labels to judge and calibrate with, however the user holds them."""
