"""Looking at sweeps from their files alone: how far one is, why a fit would run again, whether it repeats.

``status`` and ``explain`` read and never write, on any machine that sees the files; ``replay`` fits in a
folder of its own.
"""
