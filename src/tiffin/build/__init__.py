"""From a Dockerfile to an image: parse → graph → solve → export."""
