"""Evaluation: scores against known copies, and calibration by copies that are made.

May import `results` and all below it.
"""
