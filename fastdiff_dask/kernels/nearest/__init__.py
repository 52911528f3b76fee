"""The images nearest to one image, or to each of some: bounds that leave most others out."""
