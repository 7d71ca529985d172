"""A small project, served and worked on by the programs that run Django in production."""
