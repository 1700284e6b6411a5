"""Texts to learn from: one loader for each, without the network, compared with its sha256 on every load."""

from __future__ import annotations

from coursekit.assets import File, checked_file
