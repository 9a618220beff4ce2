"""Rate-distortion curves of other codecs, measured on images of one's own.

A codec is a file in `codecs/`; `measuring.py` runs them and keeps what they gave, `curves.py` makes curves of it.
"""
