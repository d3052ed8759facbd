# SPDX-License-Identifier: MIT
"""What the system tests stand on: a scripted origin, raw clients, and processes to run against."""
