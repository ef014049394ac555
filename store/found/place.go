package found

import "fmt"

// atPlace is the condition of what is at a host's place, or was found before places were
// told apart. Two places at which listings met the same repository are one, such as a
// folder of a server that both hosts have mounted. The arguments are numbers of parameters.
func atPlace(repository, place int) string {
	return fmt.Sprintf(`repository = $%[1]d AND (place IN ('', $%[2]d) OR place IN (SELECT b.host FROM repository_places a
		JOIN repository_places b ON b.repository = a.repository AND b.place = a.place WHERE a.repository = $%[1]d AND a.host = $%[2]d))`,
		repository, place)
}
