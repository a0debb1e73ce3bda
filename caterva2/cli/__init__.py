"""The commands: argparse, one module each."""
