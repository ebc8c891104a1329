"""Deals with a real power cut: finds the directories that outlive it, and judges the device afterwards."""
