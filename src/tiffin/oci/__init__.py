"""`tiffin-runtime`: our runtime as a command line that containerd, podman and dockerd can use."""
