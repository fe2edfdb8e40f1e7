"""Recovery: chosen warehouse tables stand ready on another site."""
