"""The client side of the OCI distribution protocol.

Registry I/O is asynchronous (aiohttp): it waits for the network, and several layers at once. This
package moves bytes and speaks of repositories and digests; what they mean is for the layers above.
"""
