"""Nodes of the network: JSON-RPC, several endpoints, their health; answers become facts here."""
