"""The pages, one module each; ``console.app`` lists them."""
