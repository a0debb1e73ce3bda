"""Trees of python-blosc2 (``.b2d``, ``.b2z`` or ``.b2e``), and frames embedded in others."""
