"""The parts of the robustness campaign; `../campaign.py` runs them."""
