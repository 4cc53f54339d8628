"""From verl's configuration and a recipe to the configuration of a run; without verl, Ray and torch."""

from rekindle.integrations.verl.settings.settling import check_before_ray, settle

__all__ = ["check_before_ray", "settle"]
