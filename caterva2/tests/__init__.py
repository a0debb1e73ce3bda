"""A test of an installation: ``python -m caterva2.tests -v``, with the example root.

Without more it starts a site of its own on free ports. With ``CATERVA2_USE_EXTERNAL=1`` it asks
services that run: the subscriber of ``CATERVA2_URL`` or of ``caterva2.toml``, as the user of
``CATERVA2_USERNAME`` and ``CATERVA2_PASSWORD``, or with the token of ``CATERVA2_TOKEN``.
"""
