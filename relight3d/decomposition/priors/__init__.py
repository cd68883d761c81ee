"""Diffusion priors of materials: what photos under one unknown light leave open."""
