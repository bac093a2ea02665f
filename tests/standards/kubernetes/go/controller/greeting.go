package main

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var groupVersion = schema.GroupVersion{Group: "d.example.com", Version: "v1"}

// Greeting is the custom kind: it becomes a ConfigMap with its text and a Deployment of its image.
type Greeting struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   GreetingSpec   `json:"spec,omitempty"`
	Status GreetingStatus `json:"status,omitempty"`
}

type GreetingSpec struct {
	Text     string `json:"text,omitempty"`
	Image    string `json:"image,omitempty"`
	Replicas *int32 `json:"replicas,omitempty"`
}

type GreetingStatus struct {
	ObservedGeneration int64              `json:"observedGeneration,omitempty"`
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
}

type GreetingList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Greeting `json:"items"`
}

func (g *Greeting) DeepCopyObject() runtime.Object { return g.deepCopy() }

func (g *Greeting) deepCopy() *Greeting {
	made := *g
	made.ObjectMeta = *g.ObjectMeta.DeepCopy()
	if g.Spec.Replicas != nil {
		replicas := *g.Spec.Replicas
		made.Spec.Replicas = &replicas
	}
	made.Status.Conditions = append([]metav1.Condition(nil), g.Status.Conditions...)
	return &made
}

func (l *GreetingList) DeepCopyObject() runtime.Object {
	made := &GreetingList{TypeMeta: l.TypeMeta, ListMeta: *l.ListMeta.DeepCopy()}
	for i := range l.Items {
		made.Items = append(made.Items, *l.Items[i].deepCopy())
	}
	return made
}

func addGreeting(scheme *runtime.Scheme) {
	scheme.AddKnownTypes(groupVersion, &Greeting{}, &GreetingList{})
	metav1.AddToGroupVersion(scheme, groupVersion)
}
