"""The video decoder: probing, clips and frame sampling."""
